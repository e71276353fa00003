#!/usr/bin/perl
# get.pl HOST:PORT: asks a serve.pl, resolving the name first; prints the answer's body. Fails when nothing answers.
use strict;
use warnings;
use IO::Socket::INET;

my ($host, $port) = split /:/, shift // die "usage: get.pl HOST:PORT\n";
my @found = gethostbyname $host or die "no address for $host\n";
my $server = IO::Socket::INET->new(PeerAddr => join('.', unpack 'C4', $found[4]), PeerPort => $port, Timeout => 2)
    or die "can't reach $host:$port: $!\n";
print $server "GET / HTTP/1.0\r\n\r\n";
my $text = join '', <$server>;
print $text =~ s/.*?\r\n\r\n//sr;

#!/usr/bin/perl
# ask.pl HOST:PORT: asks for the name and then the server, over and over; prints each change between `well` and what fails.
use strict;
use warnings;
use IO::Socket::INET;

$| = 1;
$SIG{TERM} = sub { exit 0 };
my ($host, $port) = split /:/, shift // die "usage: ask.pl HOST:PORT\n";
my $last = '';
sub ask {
    my @found = gethostbyname $host or return "no address for $host";
    my $server = IO::Socket::INET->new(PeerAddr => join('.', unpack 'C4', $found[4]), PeerPort => $port, Timeout => 2)
        or return "can't reach $host:$port: $!";
    print $server "GET / HTTP/1.0\r\n\r\n";
    my $text = join '', <$server>;
    return $text =~ /^HTTP.*200/ ? 'well' : 'no answer';
}
while (1) {
    my $now = ask();
    print time, " $now\n" if $now ne $last;
    $last = $now;
    select undef, undef, undef, 0.02;
}

#!/usr/bin/perl
# serve.pl PORT: answers every HTTP request with $TEXT, the asker's address and this instance's name.
use strict;
use warnings;
use IO::Socket::INET;

$| = 1;
$SIG{TERM} = $SIG{INT} = sub { exit 0 };
$SIG{PIPE} = 'IGNORE';
my $port = shift // die "usage: serve.pl PORT\n";
my $server = IO::Socket::INET->new(LocalPort => $port, Listen => 64, ReuseAddr => 1) or die "can't listen: $!\n";
print "listening on $port\n";
while (1) {
    my $client = $server->accept or next;
    while (defined(my $line = <$client>)) { last if $line =~ /^\r?\n$/ }
    my $body = join(' ', $ENV{TEXT} // 'hello', 'to', $client->peerhost, 'from', $ENV{HOSTNAME} // '?') . "\n";
    print $client "HTTP/1.0 200 OK\r\nContent-Length: ", length $body, "\r\n\r\n$body";
    close $client;
}

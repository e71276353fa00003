#!/usr/bin/perl
# The front: passes each request on to a backend.
use strict;
use warnings;
use IO::Socket::INET;

$| = 1;
$SIG{TERM} = $SIG{INT} = sub { exit 0 };
$SIG{PIPE} = 'IGNORE';
$SIG{CHLD} = 'IGNORE';
my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 64, ReuseAddr => 1) or die "can't listen: $!\n";
print "front: listening on 8080\n";
while (1) {
    my $client = $server->accept or next;
    my $child = fork // die "can't fork: $!\n";
    if ($child) { close $client; next }
    my $request = <$client> // exit 0;
    while (defined(my $header = <$client>)) { last if $header =~ /^\r?\n$/ }
    my $backend = IO::Socket::INET->new(PeerAddr => $ENV{BACKEND}, Timeout => 5);
    if ($backend) {
        print $backend "GET / HTTP/1.0\r\n\r\n";
        print $client $_ while <$backend>;
    } else {
        print $client "HTTP/1.0 502 Bad Gateway\r\nContent-Type: text/plain\r\n\r\nno backend answers: $!\n";
    }
    print "front: ", $request =~ s/\s+$//r, " from ", $client->peerhost, "\n";
    exit 0;
}

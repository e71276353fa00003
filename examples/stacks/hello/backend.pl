#!/usr/bin/perl
# The backend: asks the store to count a visit, and says who it is.
use strict;
use warnings;
use IO::Socket::INET;

$| = 1;
$SIG{TERM} = $SIG{INT} = sub { exit 0 };
$SIG{PIPE} = 'IGNORE';
my $name = $ENV{HOSTNAME} // 'backend';
my $server = IO::Socket::INET->new(LocalPort => 8000, Listen => 64, ReuseAddr => 1) or die "can't listen: $!\n";
print "backend $name: listening on 8000\n";
while (my $client = $server->accept) {
    my $request = <$client> // next;
    while (defined(my $header = <$client>)) { last if $header =~ /^\r?\n$/ }
    my $visits = 'unknown';
    if (my $store = IO::Socket::INET->new(PeerAddr => $ENV{STORE}, Timeout => 5)) {
        print $store "add visits\n";
        $visits = <$store> // 'unknown';
        chomp $visits;
    }
    my $body = "Hello from backend $name: visit number $visits.\n";
    print $client "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ", length $body, "\r\n\r\n$body";
    close $client;
}

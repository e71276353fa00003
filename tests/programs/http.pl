#!/usr/bin/perl
# http.pl PORT: an HTTP/1.1 server that keeps connections. GET / answers with $TEXT, GET /slow after 300 ms, and
# GET /download a megabyte over 300 ms. USR1: every answer from now on closes its connection. TERM: it takes whoever has
# connected already, listens no more, finishes what it has begun, and ends. With $REST it rests for so many seconds before
# it listens.
use strict;
use warnings;
use IO::Socket::INET;
use POSIX ();

$SIG{PIPE} = 'IGNORE';
my $port = shift // die "usage: http.pl PORT\n";
my ($closing, $ending, %children) = (0, 0);
$SIG{USR1} = sub { $closing = 1; kill 'USR1', keys %children };
$SIG{TERM} = sub { $ending = 1; kill 'TERM', keys %children };
$SIG{CHLD} = sub { while ((my $pid = waitpid -1, POSIX::WNOHANG) > 0) { delete $children{$pid} } };

select undef, undef, undef, $ENV{REST} if $ENV{REST};
my $server = IO::Socket::INET->new(LocalPort => $port, Listen => 512, ReuseAddr => 1) or die "can't listen: $!\n";
$server->blocking(0);
until ($ending) {
    my $ready = '';
    vec($ready, fileno $server, 1) = 1;
    take() if select($ready, undef, undef, 0.2) > 0;
}
take();
close $server;
# One that ended before it was noted is still in there.
select undef, undef, undef, 0.05 while grep { kill 0, $_ } keys %children;

sub take {
    while (my $client = $server->accept) {
        $client->blocking(1);
        my $pid = fork // next;
        if (!$pid) { %children = (); close $server; serve($client); POSIX::_exit(0) }
        $children{$pid} = 1;
    }
}

sub serve {
    my ($client) = @_;
    $client->autoflush(1);
    my ($buffer, $answered, $waited) = ('', 0, 0);
    while (1) {
        until ($buffer =~ /\r\n\r\n/) {
            # What was read in part is still answered, and so is the first request of a connection.
            return if $ending && $buffer eq '' && ($answered || $waited++ > 5);
            my $ready = '';
            vec($ready, fileno $client, 1) = 1;
            next if select($ready, undef, undef, 0.2) < 1;
            sysread($client, $buffer, 65536, length $buffer) or return;
        }
        (my $head, $buffer) = split /\r\n\r\n/, $buffer, 2;
        my ($path) = $head =~ /^GET (\S+)/ or return;
        my $last = $closing || $ending || $head =~ /^Connection: close/im;
        answer($client, $path, $last) or return;
        $answered = 1;
        return if $last;
    }
}

sub answer {
    my ($client, $path, $last) = @_;
    pause(0.3) if $path eq '/slow';
    my $body = $path eq '/download' ? 'x' x 1_048_576 : ($ENV{TEXT} // 'hello') . "\n";
    my $close = $last ? "Connection: close\r\n" : '';
    my @parts = ("HTTP/1.1 200 OK\r\n${close}Content-Length: " . length($body) . "\r\n\r\n");
    push @parts, unpack '(a65536)*', $body;
    for my $part (@parts) {
        send_all($client, $part) or return 0;
        pause(0.02) if $path eq '/download';
    }
    return 1;
}

sub send_all {
    my ($client, $text) = @_;
    while (length $text) {
        my $sent = syswrite $client, $text;
        next if !defined $sent && $!{EINTR};
        return 0 if !$sent;
        substr $text, 0, $sent, '';
    }
    return 1;
}

# A signal ends no pause early.
sub pause {
    my ($rest) = @_;
    my $until = POSIX::floor(now() * 1000) / 1000 + $rest;
    while ((my $left = $until - now()) > 0) { select undef, undef, undef, $left }
}

sub now { require Time::HiRes; return Time::HiRes::time() }

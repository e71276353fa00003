#!/usr/bin/perl
# load.pl KIND HOST PORT STOP: asks an http.pl over and over until the file STOP is there, and says what became of it.
# KIND: new (a connection for each request), keep (one connection for all), slow, download.
#
# Failed is a connect refused or timed out, an answer cut off, a first request on a connection without an answer. One
# on a connection that was used before, and that closes before any byte of the answer, is asked again once: RFC 9112,
# section 9.3.1.
use strict;
use warnings;
use IO::Socket::IP;
use Time::HiRes qw(time sleep);

$| = 1;
$SIG{PIPE} = 'IGNORE';
my ($kind, $host, $port, $stop) = @ARGV;
die "usage: load.pl KIND HOST PORT STOP\n" if !defined $stop;
my $path = { new => '/', keep => '/', slow => '/slow', download => '/download' }->{$kind} or die "what is $kind?\n";
my ($requests, $failed, $retried, $longest) = (0, 0, 0, 0);
my ($socket, $used);

until (-e $stop) {
    my $began = time;
    my $why = ask();
    $requests++;
    my $took = time - $began;
    $longest = $took if $took > $longest;
    if ($why) { $failed++; printf "failed at %.3f after %.3f s: %s\n", time, $took, $why; undef $socket }
    sleep 0.005;
}
printf "requests %d, failed %d, retried %d, longest %.0f ms\n", $requests, $failed, $retried, $longest * 1000;

sub ask {
    undef $socket if $kind ne 'keep';
    my $again = $socket && $used;
    my $why = once();
    if ($why && $why eq 'closed' && $again) {
        $retried++;
        undef $socket;
        $why = once();
    }
    return $why;
}

sub once {
    if (!$socket) {
        $socket = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Timeout => 10) or return "connect: $@";
        $used = 0;
    }
    my $close = $kind eq 'keep' ? '' : "Connection: close\r\n";
    my $sent = syswrite $socket, "GET $path HTTP/1.1\r\nHost: $host\r\n$close\r\n";
    return 'closed' if !$sent;
    my $got = '';
    until ($got =~ /^(.*?\r\n\r\n)/s) { my $why = more(\$got); return $got eq '' ? $why : "cut: $why" if $why }
    my ($head) = $got =~ /^(.*?\r\n\r\n)/s;
    return "answer $head" if $head !~ m{^HTTP/1\.1 200 };
    my ($length) = $head =~ /^Content-Length: (\d+)/im or return 'no length';
    until (length($got) >= length($head) + $length) { my $why = more(\$got); return "cut in the body: $why" if $why }
    $used = 1;
    undef $socket if $head =~ /^Connection: close/im;
    return;
}

sub more {
    my ($got) = @_;
    my $ready = '';
    vec($ready, fileno $socket, 1) = 1;
    return 'no answer in 10 s' if !select $ready, undef, undef, 10;
    return sysread($socket, $$got, 262144, length $$got) ? undef : 'closed';
}

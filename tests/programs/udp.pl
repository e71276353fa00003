#!/usr/bin/perl
# udp.pl serve PORT: sends every datagram back, followed by $TEXT.
# udp.pl ask HOST PORT STOP: asks from one socket, over and over until the file STOP is there, and says what became of it.
# The socket is connected: it takes answers from the address alone that it asked.
use strict;
use warnings;
use IO::Socket::IP;
use Time::HiRes qw(time sleep);

$| = 1;
my $kind = shift // '';
if ($kind eq 'serve') {
    my $socket = IO::Socket::IP->new(LocalHost => '0.0.0.0', LocalPort => shift, Proto => 'udp') or die "can't listen: $@\n";
    my $packet;
    while (1) { my $from = $socket->recv($packet, 1500); $socket->send("$packet $ENV{TEXT}", 0, $from) if $from }
}
my ($host, $port, $stop) = @ARGV;
die "usage: udp.pl ask HOST PORT STOP\n" if $kind ne 'ask' || !defined $stop;
my $socket = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Proto => 'udp') or die "can't ask: $@\n";
my ($requests, $failed, $longest, %answers) = (0, 0, 0);
until (-e $stop) {
    my $began = time;
    $requests++;
    $socket->send("n$requests");
    my $text = answer($began + 2);
    my $took = time - $began;
    $longest = $took if $took > $longest;
    if (defined $text) { $answers{$text}++ } else { $failed++; printf "failed at %.3f\n", time }
    sleep 0.002;
}
printf "requests %d, failed %d, retried 0, longest %.0f ms, answered by %s\n", $requests, $failed, $longest * 1000,
    join ' ', sort keys %answers;

# What answers this request; an answer to an earlier one is late.
sub answer {
    my ($until) = @_;
    while ((my $left = $until - time) > 0) {
        my $ready = '';
        vec($ready, fileno $socket, 1) = 1;
        next if select($ready, undef, undef, $left) < 1;
        my $packet;
        defined $socket->recv($packet, 1500) or return;
        return $1 if $packet =~ /^n$requests (.*)/;
    }
    return;
}

#!/usr/bin/perl
# step.pl STATUS: prints its start and ends with STATUS at once; with `run` it stays until it is told to end.
use strict;
use warnings;

$| = 1;
my $status = shift // die "usage: step.pl STATUS|run\n";
print "started\n";
exit $status unless $status eq 'run';
$SIG{TERM} = sub { exit 0 };
sleep 1000 while 1;

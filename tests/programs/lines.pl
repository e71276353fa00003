#!/usr/bin/perl
# lines.pl BATCH: prints numbered lines, BATCH of them and then a breath; when told to end, how many there were.
use strict;
use warnings;

my $batch = shift // 100;
my $told = 0;
$SIG{TERM} = sub { $told = 1 };
my $line = 0;
until ($told) {
    for (1 .. $batch) { $line++; syswrite STDOUT, "$line abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz\n" }
    select undef, undef, undef, 0.1;
}
syswrite STDOUT, "end $line\n";

#!/usr/bin/perl
# numbered.pl FOLDER PAUSE: prints lines "RUN NUMBER", numbers from 1 on, and keeps in FOLDER/$HOSTNAME.RUN how far it
# came, for a log to be compared with. A kill between the two leaves the file one behind.
use strict;
use warnings;
use Fcntl;

my ($folder, $pause) = @ARGV;
$SIG{TERM} = sub { exit 0 };
my ($run, $file) = (1);
$run++ until sysopen $file, "$folder/$ENV{HOSTNAME}.$run", O_CREAT | O_EXCL | O_WRONLY or !$!{EEXIST};
die "can't write to $folder: $!\n" unless $file;
for (my $number = 1; ; $number++) {
    syswrite STDOUT, "$run $number\n";
    sysseek $file, 0, 0;
    syswrite $file, sprintf "%012d\n", $number;
    select undef, undef, undef, $pause;
}

#!/usr/bin/perl
# The store: counts visits. Each line "add NAME" raises a count and answers with it; counts survive in a file.
use strict;
use warnings;
use IO::Socket::INET;

$| = 1;
$SIG{TERM} = $SIG{INT} = sub { exit 0 };
my $file = shift // die "usage: store.pl FILE\n";
my %count;
if (open my $in, '<', $file) {
    while (<$in>) { chomp; my ($name, $n) = split ' '; $count{$name} = $n if defined $n }
}

sub save {
    open my $out, '>', "$file.new" or die "can't write $file.new: $!\n";
    print $out "$_ $count{$_}\n" for sort keys %count;
    close $out or die "can't write $file.new: $!\n";
    rename "$file.new", $file or die "can't replace $file: $!\n";
}

my $server = IO::Socket::INET->new(LocalPort => 7000, Listen => 64, ReuseAddr => 1) or die "can't listen: $!\n";
print "store: listening on 7000\n";
while (my $client = $server->accept) {
    while (defined(my $line = <$client>)) {
        next unless $line =~ /^add (\S+)/;
        $count{$1}++;
        save();
        print $client "$count{$1}\n";
    }
}

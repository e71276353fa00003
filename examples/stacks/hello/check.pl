#!/usr/bin/perl
# A health check: whether something accepts connections at HOST:PORT.
use strict;
use warnings;
use IO::Socket::INET;

exit(IO::Socket::INET->new(PeerAddr => shift, Timeout => 1) ? 0 : 1);

my $name = shift; while (<STDIN>) { s/\@NAME\@/$name/g; print; }

const   a   = 1;

export   default   2;

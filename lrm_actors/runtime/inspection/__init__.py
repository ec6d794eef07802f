"""Looking at running actors, in the manner of OTP's ``sys``: state, status, statistics, trace, suspend, stack, dump."""

"""``lrm demo``: an agent that watches a web site, the site, and the harm that is done to both."""

"""Rule 8: the process can always exit within its shutdown deadline, and the exit says whether it was clean."""

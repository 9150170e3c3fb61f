"""Reports: an audit log of any length boiled down to answers, and to charts on one page."""

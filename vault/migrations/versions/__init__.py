"""One file per revision; a released one is never edited, since databases out there remember it."""

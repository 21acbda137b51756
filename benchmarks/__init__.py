"""Where the README's numbers come from: ``make bench``. Ratios are taken in one run on one machine."""

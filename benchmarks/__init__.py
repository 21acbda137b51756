"""Where the README's numbers come from: ``make bench``. Ratios are measured in one run on one machine."""

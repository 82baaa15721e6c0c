"""What a colour means in every picture: RGB from 0 to 1."""

BEAD = (0.18, 0.72, 0.45)  # found and true
MISSED = (0.95, 0.65, 0.10)  # true, not found
INVENTED = (0.90, 0.20, 0.35)  # found, not true
MERGED = (0.25, 0.60, 1.00)  # several true ones, found as one
SPLIT = (0.75, 0.50, 1.00)  # one true one, found as several
UNKNOWN = (0.45, 0.45, 0.60)

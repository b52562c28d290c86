"""What is wrong with labelled images, before hours are spent on them. Needs no torch."""

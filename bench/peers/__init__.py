"""The libraries that fastsep is measured beside, one file each.

A peer is a module with NAME and `forms(block, threads)`, which yields every candidate for its best form,
ready to run: weights constant and packed, input in place, output buffer reused where the library can.
"""

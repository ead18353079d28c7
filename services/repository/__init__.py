"""What is kept beyond the journals: sessions and their history, results, paper days (S-13).

A projection: everything here can be made again from the journals and from a run's own files, and
nothing that trades waits for it. `opened` returns the one that the configuration names.
"""

"""The gRPC proxy: any service and method, unary or streams, octets in and octets out.

gRPC's own library speaks on both sides, so each side is a connection of its own: what a hop agrees
on with its neighbour ends at the hop (compression, ``user-agent``, ``:authority``, settings of
HTTP/2). Messages come decompressed and go on so; metadata, trailers, status, deadline and
cancellation go through.
"""

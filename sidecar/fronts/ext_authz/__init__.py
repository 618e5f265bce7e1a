"""Envoy's external authorization over gRPC (``envoy.service.auth.v3.Authorization``).

``check`` reads what Envoy says of a request, ``fields`` knows what upstream may be told of its
header, ``answer`` says a decision in Envoy's words, ``checker`` joins the three with the decision,
``health`` answers Envoy's health checks, and ``server`` is the listener.

It needs the extra ``grpc``, and is imported where the settings open its door only.
"""

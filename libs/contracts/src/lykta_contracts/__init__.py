"""Nouns of the platform: identifiers, events, subjects, streams, permissions, mandates and the generated gRPC code."""

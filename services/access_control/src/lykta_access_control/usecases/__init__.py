"""One function per RPC: authorise, step, write the row with its facts and its log entry."""

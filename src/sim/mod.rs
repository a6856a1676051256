//! A simulated PVE API: for `demo` and for the tests.

//! The listeners, routes and pages.

//! The HTTP face: Open API v1, CMSV6, console.

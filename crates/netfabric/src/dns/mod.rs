//! Names: what answers DNS questions inside the fabric.

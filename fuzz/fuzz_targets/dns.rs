#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hoist_netfabric::fuzz::dns_messages(data));

//! Block devices: weights and rates.

use super::super::convert::io_weight;
use super::super::limits::{DeviceRate, DeviceWeight, IoLimits};
use super::{CgroupError, Controller, Dialect, Level, Need, Op, Planner, Target};

/// Key, version 1 file and version 2 word of one kind of rate.
type Rate = (&'static str, &'static str, &'static str);

const READ_BPS: Rate = ("blockIO.throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps");
const WRITE_BPS: Rate = ("blockIO.throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps");
const READ_IOPS: Rate = ("blockIO.throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops");
const WRITE_IOPS: Rate = ("blockIO.throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops");

impl Planner<'_> {
    pub(super) fn io(&mut self, io: &IoLimits) -> Result<(), CgroupError> {
        if let Some(weight) = io.weight
            && let Some(target) = self.wish(Controller::Blkio, "blockIO.weight", &weight)
        {
            self.push(weight_op(&target, weight));
        }
        for weight in &io.device_weights {
            let text = format!("{} {}", weight.device, weight.weight);
            if let Some(target) = self.wish(Controller::Blkio, "blockIO.weightDevice", &text) {
                self.push(device_weight_op(&target, weight));
            }
        }
        self.rates(READ_BPS, &io.read_bps)?;
        self.rates(WRITE_BPS, &io.write_bps)?;
        self.rates(READ_IOPS, &io.read_iops)?;
        self.rates(WRITE_IOPS, &io.write_iops)
    }

    fn rates(&mut self, (key, v1_file, v2_word): Rate, rates: &[DeviceRate]) -> Result<(), CgroupError> {
        for DeviceRate { device, per_second } in rates {
            let target = self.need(Controller::Blkio, key, &format!("{device} {per_second}"))?;
            // Version 1 holds a group's own processes to a rate, not those of the groups below.
            if self.level == Level::Outer && target.dialect == Dialect::V1 {
                continue;
            }
            let value = match (target.dialect, per_second) {
                (Dialect::V1, rate) => format!("{device} {rate}"),
                // Zero lifts the bound, which version 1 writes as 0.
                (Dialect::V2, 0) => format!("{device} {v2_word}=max"),
                (Dialect::V2, rate) => format!("{device} {v2_word}={rate}"),
            };
            self.push(Op::write(key, target.file(v1_file, "io.max"), &value));
        }
        Ok(())
    }
}

/// The file depends on which schedulers the kernel was built with; BFQ's counts where it exists.
fn weight_op(target: &Target, weight: u16) -> Op {
    let choices = match target.dialect {
        Dialect::V1 => vec![
            (target.dir.join("blkio.bfq.weight"), weight.to_string()),
            (target.dir.join("blkio.weight"), weight.to_string()),
        ],
        Dialect::V2 => vec![
            (target.dir.join("io.bfq.weight"), weight.to_string()),
            (target.dir.join("io.weight"), io_weight(weight).to_string()),
        ],
    };
    Op::Write { key: "blockIO.weight", need: Need::Wish, choices }
}

fn device_weight_op(target: &Target, DeviceWeight { device, weight }: &DeviceWeight) -> Op {
    let plain = format!("{device} {weight}");
    let choices = match target.dialect {
        Dialect::V1 => vec![
            (target.dir.join("blkio.bfq.weight_device"), plain.clone()),
            (target.dir.join("blkio.weight_device"), plain),
        ],
        Dialect::V2 => vec![
            (target.dir.join("io.bfq.weight"), plain),
            (target.dir.join("io.weight"), format!("{device} {}", io_weight(*weight))),
        ],
    };
    Op::Write { key: "blockIO.weightDevice", need: Need::Wish, choices }
}

#!/bin/bash
# Makes the test machine's kernel, initial RAM disk and root disk in the folder $1, from Debian packages.
#
# The guest boots a plain Debian kernel from a small initial RAM disk into an ext4 image that qemu opens as a
# snapshot, so one image serves any number of runs. guest.sh, beside this file, is the guest's first process.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
out=$(realpath -m "$1")
suite=bookworm
# What tests in the guest call.
packages=systemd,systemd-sysv,dbus,kmod,iproute2,nftables,iptables,iputils-ping,procps,wireguard-tools,busybox-static
# What the RAM disk needs to find the root disk.
modules=(virtio_pci virtio_blk ext4 crc32c_generic)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
cd "$work"
# apt fetches as a user of its own.
chmod 755 "$work"

kernel_package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
release=${kernel_package#linux-image-}
apt-get download -qq "$kernel_package"
dpkg-deb -x "$kernel_package"_*.deb kernel
depmod -b kernel "$release"

mmdebstrap --quiet --variant=minbase --include="$packages" "$suite" root
cp -a kernel/lib/modules root/usr/lib/
install -m 755 "$here/guest.sh" root/usr/local/sbin/guest
mkdir -p root/host
echo guest > root/etc/hostname
rm -rf root/var/cache/apt/* root/var/lib/apt/lists/* root/usr/share/{doc,locale,man}
truncate -s 4G root.ext4
mke2fs -q -t ext4 -O ^has_journal -E lazy_itable_init=1 -d root root.ext4

mkdir -p ram/{bin,dev,modules,newroot,proc}
cp root/bin/busybox ram/bin/
for module in "${modules[@]}"; do
  modprobe -d kernel -S "$release" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
  cp "$file" ram/modules/
  basename "$file" >> ram/modules/in-order
done
cat > ram/init <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
for module in $($b cat /modules/in-order); do $b insmod /modules/$module; done
$b mount -t ext4 /dev/vda /newroot
$b mount --move /dev /newroot/dev
exec $b switch_root /newroot /usr/local/sbin/guest
INIT
chmod +x ram/init
(cd ram && find . | cpio --quiet -o -H newc | gzip -1) > initrd.gz

# Last and one by one, so that a build that was cut short leaves nothing that looks like a machine.
mv initrd.gz "$out/initrd.gz"
mv kernel/boot/vmlinuz-* "$out/vmlinuz"
mv root.ext4 "$out/root.ext4"

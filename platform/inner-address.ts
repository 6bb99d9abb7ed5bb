/**
 * Which addresses lie inside (this machine, its networks, anything but the public Internet): nobody is to be led there by
 * a name. What is not known to be public counts as inside.
 * @spec RFC 6890 and the IANA registries of special-purpose addresses
 */
import { BlockList, isIP } from 'node:net';

const SPECIAL_V4 = [
  ['0.0.0.0', 8], // this network
  ['10.0.0.0', 8],
  ['100.64.0.0', 10], // shared by providers
  ['127.0.0.0', 8],
  ['169.254.0.0', 16], // link-local: the metadata services of clouds too
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4], // multicast
  ['240.0.0.0', 4],
] as const;

/** Of the public block, what carries an IPv4 address inside or is for examples and tunnels. */
const SPECIAL_V6 = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const;

const special = new BlockList();
for (const [net, bits] of SPECIAL_V4) special.addSubnet(net, bits, 'ipv4');
for (const [net, bits] of SPECIAL_V6) special.addSubnet(net, bits, 'ipv6');
const publicV6 = new BlockList();
publicV6.addSubnet('2000::', 3, 'ipv6');

/** @param address  as `node:net` writes one; an IPv6 zone makes it inside */
export function isInside(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return special.check(address, 'ipv4');
    case 6:
      return address.includes('%') || !publicV6.check(address, 'ipv6') || special.check(address, 'ipv6');
    default:
      return true;
  }
}

/**
 * A broker that is not ours, for the hub in memory: whoever is known by name may do what the access lists of `kagimori
 * broker export mosquitto` say. Reads the lists as Mosquitto does. @spec mosquitto.conf(5)
 */
import { deviceAccess, serviceAccess } from '../cli/broker-export/access-list.ts';
import type { HubAuthority } from '../platform/transport-memory.ts';
import { HINT_FRAME } from '../protocol/frame.ts';
import type { Topics } from '../protocol/topics.ts';
import type { LinkId, Topic } from '../protocol/units.ts';

type May = (user: string, access: 'read' | 'write', topic: string) => boolean;

/** @param send publishes what a broken link left as its last will */
export function outsideAuthority(topics: Topics, send: (topic: Topic, payload: Uint8Array) => void): HubAuthority {
  const users = new Map<LinkId, string>();
  const [services, devices] = [accessList(serviceAccess(topics.root)), accessList(deviceAccess(topics.root, []))];
  const may = (link: LinkId, access: 'read' | 'write', topic: string): boolean => {
    const user = users.get(link);
    if (user === undefined) return false;
    return (isService(user) ? services : devices)(user, access, topic);
  };
  return {
    connecting(link, user) {
      if (user === null) return 'not-authorised';
      users.set(link, user);
      return null;
    },
    publishing: (link, topic) => (may(link, 'write', topic) ? 'allow' : 'drop'),
    // as Mosquitto: every subscription is taken, and each message looked at when it is delivered
    subscribing: () => true,
    forwarding: (link, topic) => may(link, 'read', topic),
    disconnected(link) {
      const user = users.get(link);
      users.delete(link);
      if (user !== undefined && !isService(user)) send(`${topics.root}/m/${user}` as Topic, HINT_FRAME);
    },
  };
}

const isService = (user: string): boolean => user === 'manager' || user === 'verifier';

/** An `acl_file`. Deny is the default. */
export function accessList(text: string): May {
  const rules: { user: string | null; access: string; filter: string }[] = [];
  let user: string | null = null;
  for (const line of text.split('\n')) {
    const [, kind, rest = ''] = /^(user|topic|pattern) (.+)$/.exec(line) ?? [];
    if (kind === 'user') user = rest;
    const [, access = '', filter = ''] = /^(read|write) (\S+)$/.exec(rest) ?? [];
    if (kind === 'topic') rules.push({ user, access, filter });
    if (kind === 'pattern') rules.push({ user: null, access, filter });
  }
  return (name, access, topic) =>
    rules.some((rule) => {
      if (rule.access !== access || (rule.user !== null && rule.user !== name)) return false;
      return matches(
        rule.filter.replaceAll('%u', () => name),
        topic,
      );
    });
}

function matches(filter: string, topic: string): boolean {
  const [wanted, levels] = [filter.split('/'), topic.split('/')];
  return wanted.length === levels.length && wanted.every((level, at) => level === '+' || level === levels[at]);
}

/**
 * What a revocation list is about: its issuer, the part of the certificates, whether it tells changes alone. A newer list
 * replaces an older one of the same name.
 */
import { toHex } from '../protocol/bytes.ts';
import { nameKey, type ParsedCrl } from '../protocol/certificate.ts';

/** Equal for two lists of which the newer one replaces the older one. */
export function listName(crl: ParsedCrl): string {
  return `${baseName(crl)} ${crl.deltaBase === null ? 'full' : 'delta'}`;
}

/** Equal for a list and the deltas to it. */
export function baseName({ issuer, scope }: ParsedCrl): string {
  return `${JSON.stringify(nameKey(issuer))} ${scope === null ? 'all' : toHex(scope.der)}`;
}

/** For people. */
export function scopeOf({ scope, deltaBase }: ParsedCrl): string {
  const parts = [
    scope === null ? 'all' : 'a part',
    ...(scope?.only == null ? [] : [`${scope.only} certificates only`]),
    ...(scope?.reasons == null ? [] : ['some reasons only']),
    ...(scope?.indirect === true ? ['indirect'] : []),
    ...(deltaBase === null ? [] : [`delta to ${deltaBase}`]),
  ];
  return parts.join(', ');
}

/** For people. */
export function issuerOf({ issuer }: ParsedCrl): string {
  return issuer.commonName ?? toHex(issuer.der);
}

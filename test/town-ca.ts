/**
 * The CA behind the manager of a town, which keeps the rules of the small CA: what is asked again in the next ten minutes
 * is answered alike, and a name with a living certificate over another key is taken. @see cli/ca/device-batch.ts
 */
import type { CertificateWish, Certified } from '../manager/effects.ts';
import { freshSerial, issueCertificate } from '../platform/certificate-issuing.ts';
import { equal } from '../protocol/bytes.ts';
import { EXTENDED_KEY_USAGE } from '../protocol/certificate.ts';
import type { World } from '../protocol/world.ts';
import { DAY, type Holder } from './test-authority.ts';

export interface TownCa {
  /** `silent`: it takes what is asked and never answers. */
  state: 'good' | 'refusing' | 'silent';
  /** How many certificates it made. */
  readonly made: { readonly name: string; readonly der: Uint8Array }[];
  answer(wish: CertificateWish, world: World): Certified | null;
}

const REPEAT_SECONDS = 600;

export function townCa(issuer: Holder, days: number): TownCa {
  const book: { readonly wish: CertificateWish; readonly der: Uint8Array; readonly at: number }[] = [];
  const self: TownCa = {
    state: 'good',
    made: [],
    answer({ device, spki, renews }, { crypto, wall }) {
      if (self.state === 'silent') return null;
      if (self.state === 'refusing') return { refused: 'the CA is closed' };
      const own = book.filter(({ wish }) => wish.device === device);
      const again = own.findLast(({ wish, at }) => equal(wish.spki, spki) && wall - at <= REPEAT_SECONDS);
      if (again !== undefined) return { chain: [again.der, issuer.certificate.der] };
      const living = own.filter(({ at }) => at + days * DAY >= wall);
      if (!renews && living.some(({ wish }) => !equal(wish.spki, spki))) return { refused: `${device} has one` };
      const der = issueCertificate(crypto, issuer.issuer, {
        name: device,
        spki,
        serial: freshSerial(crypto),
        notBefore: wall - 3600,
        notAfter: wall + days * DAY,
        keyUsage: ['digitalSignature'],
        extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriDevice],
      });
      book.push({ wish: { device, spki, renews }, der, at: wall });
      self.made.push({ name: device, der });
      return { chain: [der, issuer.certificate.der] };
    },
  };
  return self;
}

/**
 * A PIN that somebody writes into a PKCS#11 URI is refused, and told nobody. @spec RFC 7512 §2.3
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyStoreError } from '../../hardware/key-store-error.ts';
import { parsePkcs11Uri, withoutPin } from '../../hardware/pkcs11-uri.ts';

const GOOD = 'pkcs11:token=T;object=O?module-path=/usr/lib/m.so';
const PINS = ['12345678', '1234;5678', '1234&5678', '1234=5678', '12?34 5678', '1234\n5678', '1234%5678'];

test('[B6] whatever stands in a PIN, no error repeats any of it', () => {
  for (const name of ['pin-value', 'PIN-VALUE', 'pin%2Dvalue', '%70in-value']) {
    for (const pin of PINS) {
      for (const uri of [`${GOOD}&${name}=${pin}`, `pkcs11:token=T;${name}=${pin};object=O`]) {
        assert.throws(
          () => parsePkcs11Uri(uri),
          (error) =>
            error instanceof KeyStoreError && !/34|56/.test(`${error.message}${error.stack}${JSON.stringify(error)}`),
          uri,
        );
        assert.ok(!/34|56/.test(withoutPin(uri)), uri);
      }
    }
  }
  assert.equal(withoutPin(GOOD), GOOD);
});

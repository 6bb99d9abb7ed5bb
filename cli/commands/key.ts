/**
 * `kagimori key …`: private keys in files and PKCS#11 tokens: made, looked at, and certified by a request.
 */
import { type Command, Option } from 'commander';
import { writeAtomically } from '../../platform/files.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';
import { type CommonOptions, noun, verb } from '../command.ts';
import { Failure } from '../failure.ts';
import { createOutput, printable, table } from '../output.ts';

const TOKEN =
  "'pkcs11:token=home;object=lamp?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/kagimori/pin'";

export function keyCommand(): Command {
  return noun('key', 'private keys in files and PKCS#11 tokens', [create(), show(), request()]);
}

function create(): Command {
  type Options = CommonOptions & { algorithm: 'p256' | 'p384' | 'ed25519' };
  return verb(
    'create <file-or-uri>',
    'make a private key; one in a token never leaves it',
    `kagimori key create ${TOKEN}`,
  )
    .addOption(new Option('--algorithm <name>', 'kind of key').choices(['p256', 'p384', 'ed25519']).default('p256'))
    .action(async (place: string, { json, algorithm }: Options) => {
      const { createKeyStore, crypto } = await keyStores();
      createKeyStore(place, algorithm, crypto.counter).close();
      await tell(place, json);
    });
}

function show(): Command {
  return verb(
    'show <file-or-uri>',
    'what kind of key it is, and whether it can be read out',
    `kagimori key show ${TOKEN}`,
  ).action((place: string, { json }: CommonOptions) => tell(place, json));
}

/** Loaded only when it is needed: every other command has to be quick. */
async function keyStores() {
  const { nodeCrypto } = await import('../../platform/crypto-node.ts');
  return { ...(await import('../../hardware/key-store.ts')), crypto: nodeCrypto() };
}

async function tell(place: string, json: boolean | undefined): Promise<void> {
  const { describeKey, crypto } = await keyStores();
  const { algorithm, publicSpki, token, shown, isExtractable } = describeKey(place, crypto.counter);
  const fingerprint = Buffer.from(crypto.hash('sha-256', publicSpki)).toString('hex');
  const result = { key: shown, algorithm, fingerprint, token, extractable: isExtractable };
  const rows = [
    ['algorithm', algorithm],
    ['SHA-256 of the public key', fingerprint],
    ...(token === null
      ? []
      : [
          ['token', printable(token.label)],
          ['model', printable(`${token.manufacturer} ${token.model}`)],
          ['serial', printable(token.serial)],
        ]),
    ['can be read out', isExtractable ? 'yes' : 'no'],
  ];
  const output = createOutput(json === true);
  output.result(result, table(['key', printable(shown)], rows));
  if (isExtractable && token !== null) {
    output.remark(
      'No daemon takes a token key that can be read out: make one that cannot, with `kagimori key create`.',
    );
  }
}

function request(): Command {
  type Options = CommonOptions & { name: string; out: string };
  return verb(
    'request <file-or-uri>',
    'write a request (PKCS#10) for a certificate over this key',
    `kagimori key request ${TOKEN} --name lamp --out lamp.csr.pem`,
  )
    .requiredOption('--name <name>', 'common name: the id of the device')
    .requiredOption('--out <file>', 'where the request is put')
    .action(async (place: string, { json, name, out }: Options) => {
      if (name === '' || name.length > 64) throw new Failure('usage', 'bad-name', 'a name of 1 to 64 characters');
      const { issueRequest } = await import('../../platform/certificate-request-issuing.ts');
      const { writePem } = await import('../../platform/certificates.ts');
      const { openKeyStore, crypto } = await keyStores();
      const key = openKeyStore(place, crypto.counter);
      try {
        const der = issueRequest(key, { name });
        writeAtomically(out, encodeUtf8(writePem('CERTIFICATE REQUEST', der)), 0o644);
      } finally {
        key.close();
      }
      const output = createOutput(json === true);
      output.result({ name, request: out }, table(['request', out], [['name', printable(name)]]));
      output.remark(`Have it certified: kagimori ca sign ${printable(out)}`);
    });
}

/**
 * Which instructions OpenSSL was told not to use.
 * @spec OpenSSL 3, OPENSSL_ia32cap(3); crypto/armcap.c
 */
const VARIABLES = ['OPENSSL_ia32cap', 'OPENSSL_armcap'];

/** As the environment has it, `OPENSSL_ia32cap=~0x…`; empty when nothing is masked. */
export function openSslMask(environment: NodeJS.ProcessEnv = process.env): string {
  return VARIABLES.filter((name) => environment[name] !== undefined)
    .map((name) => `${name}=${environment[name]}`)
    .join(' ');
}

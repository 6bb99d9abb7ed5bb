/**
 * Writes the generated documents: `npm run docs`.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cliMarkdown } from '../cli/reference.ts';
import { wireCddl, wireMarkdown } from './wire-document.ts';

writeFileSync(join(import.meta.dirname, 'wire.md'), wireMarkdown());
writeFileSync(join(import.meta.dirname, 'wire.cddl'), wireCddl());
writeFileSync(join(import.meta.dirname, 'cli.md'), cliMarkdown());

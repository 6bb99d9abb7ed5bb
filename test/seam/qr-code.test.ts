/**
 * The QR code of the terminal, read back out of what is printed by a decoder that is not ours.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import jsqr from 'jsqr';
import { qrCode } from '../../cli/qr-code.ts';
import { writeInvitation } from '../../protocol/invitation.ts';
import { crypto } from '../test-authority.ts';

const read = jsqr as unknown as (data: Uint8ClampedArray, width: number, height: number) => { data: string } | null;
const COLOUR = new RegExp(`${String.fromCharCode(27)}\\[[\\d;]*m`, 'g');
const PIXELS = 4;

/** What a camera sees: every half of a character is one module. */
function photographed(printed: string): { pixels: Uint8ClampedArray; width: number; height: number } {
  const lines = printed.split('\n').map((line) => [...line.replace(COLOUR, '')]);
  const modules = lines.flatMap((line) => [
    line.map((half) => half === '▀' || half === '█'),
    line.map((half) => half === '▄' || half === '█'),
  ]);
  const width = modules[0]!.length * PIXELS;
  const height = modules.length * PIXELS;
  const pixels = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (modules[Math.floor(y / PIXELS)]![Math.floor(x / PIXELS)] === true)
        pixels.fill(0, (y * width + x) * 4, (y * width + x) * 4 + 3);
    }
  }
  return { pixels, width, height };
}

test('a QR code that is printed gives the invitation back', () => {
  const invitation = {
    broker: 'mqtts://broker.home.example:8883',
    manager: 'home-manager',
    anchor: crypto.random(32),
    token: crypto.random(24),
  };
  const written = writeInvitation(crypto, invitation);
  const printed = qrCode(written);
  const { pixels, width, height } = photographed(printed);
  assert.equal(read(pixels, width, height)?.data, written);
  const columns = width / PIXELS;
  assert.ok(columns <= 80, `${columns} columns fit into a terminal`);
});

test('colours stand in every line, and a light rim of four modules around the code', () => {
  const lines = qrCode('kagimori-x').split('\n');
  for (const line of lines) assert.ok(line.startsWith('\u001b[38;5;16;48;5;231m') && line.endsWith('\u001b[0m'));
  const bare = lines.map((line) => line.slice(line.indexOf('m') + 1, -4));
  assert.match(bare[0]! + bare[1]!, /^ +$/);
  for (const line of bare) assert.match(line, /^ {4}.* {4}$/);
});

test('a code of which a part is missing is not read as another one', () => {
  const { pixels, width, height } = photographed(qrCode('kagimori-abcdefgh'));
  pixels.fill(255, 0, pixels.length / 2);
  assert.equal(read(pixels, width, height), null);
});

/**
 * The stories that can be told by name.
 */
import { CLOCK_1970 } from './stories/clock-1970.ts';
import { CLONED_CARD } from './stories/cloned-card.ts';
import { MEDIUM_PULLED } from './stories/medium-pulled.ts';
import { MONTHS_IN_A_DRAWER } from './stories/months-in-a-drawer.ts';
import { TOKEN_BURNED } from './stories/token-burned.ts';
import { TRANSFER } from './stories/transfer.ts';
import { USER_MOVES } from './stories/user-moves.ts';
import type { Story } from './story.ts';

export const STORIES: readonly Story[] = [
  CLOCK_1970,
  CLONED_CARD,
  MONTHS_IN_A_DRAWER,
  TOKEN_BURNED,
  TRANSFER,
  USER_MOVES,
  MEDIUM_PULLED,
];

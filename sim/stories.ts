/**
 * The stories that can be told by name.
 */
import type { Story } from './story.ts';

export const STORIES: readonly Story[] = [];

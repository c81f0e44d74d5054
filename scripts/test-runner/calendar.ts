/**
 * The environment in which programs see another date; see `test/support/moved-calendar.mjs`.
 *
 * @param at the moment that their clocks are to show now
 */
export const movedCalendar = (
  at: number,
  nodeOptions: string | undefined = process.env['NODE_OPTIONS'],
): NodeJS.ProcessEnv => {
  const loader = new URL('../../test/support/moved-calendar.mjs', import.meta.url).href
  // Not by `Date`, which may have been moved in this process too.
  const trueNow = performance.timeOrigin + performance.now()
  return {
    NONSTICK_CLOCK_SHIFT_MS: String(Math.round(at - trueNow)),
    NODE_OPTIONS: [nodeOptions ?? '', `--import=${loader}`].join(' ').trim(),
  }
}

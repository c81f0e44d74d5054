/**
 * The environment in which programs see another date; see `test/support/moved-calendar.mjs`.
 *
 * @param at the moment that their clocks are to show now
 */
export const movedCalendar = (
  at: number,
  nodeOptions: string | undefined = process.env['NODE_OPTIONS'],
): NodeJS.ProcessEnv => {
  const loader = new URL('../../test/support/moved-calendar.mjs', import.meta.url)
  // Not by `Date`, which may have been moved in this process too.
  const trueNow = performance.timeOrigin + performance.now()
  loader.searchParams.set('shiftMs', String(Math.round(at - trueNow)))
  return { NODE_OPTIONS: [nodeOptions ?? '', `--import=${loader.href}`].join(' ').trim() }
}

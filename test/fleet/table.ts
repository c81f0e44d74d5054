import type { FleetReport, Load, Loss } from './fleet.js'

const number = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 1 : 0 })

/** The report as the table that docs/scaling.md has. */
export const tableOf = ({ steady, oneLost, allLost }: FleetReport): string => {
  const row = (name: string, of: (load: Load) => number): string =>
    `| ${name} | ${[steady, oneLost.away, allLost.away].map((load) => number(of(load))).join(' | ')} |`
  const lost = (name: string, of: (loss: Loss) => number, unit = ''): string =>
    `| ${name} | | ${[oneLost, allLost].map((loss) => `${number(of(loss))}${unit}`).join(' | ')} |`
  return [
    '| | all is well | one of ten lost | all ten lost |',
    '|---|---|---|---|',
    row('requests a second', ({ requests }) => requests),
    row('calls to the caches a second', ({ cacheCalls }) => cacheCalls),
    row('reads of the backend a second', ({ backendReads }) => backendReads),
    row('statements that write a second', ({ backendWrites }) => backendWrites),
    row('rows in them a second', ({ rowsWritten }) => rowsWritten),
    lost('reads of the backend in the busiest second', ({ busiest }) => busiest.backendReads),
    lost('rows written in the busiest second', ({ busiest }) => busiest.rowsWritten),
    lost(
      'until the reads are a tenth of that, once the servers are back',
      ({ recoveredAfterS }) => recoveredAfterS,
      ' s',
    ),
    lost('entries that were lost', ({ entries }) => entries),
    lost('sessions that lost a change', ({ sessionsWithLoss }) => sessionsWithLoss),
    lost('changes that were lost', ({ changesLost }) => changesLost),
    lost('the most that one session lost', ({ mostChangesOfASession }) => mostChangesOfASession, ' changes'),
    lost('the oldest change that was lost, before the loss', ({ oldestLostS }) => oldestLostS, ' s'),
    lost('requests that found no session', ({ loggedOut }) => loggedOut),
    lost('requests that were refused', ({ refused }) => refused),
  ].join('\n')
}

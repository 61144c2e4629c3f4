// Package bench measures a platform as its users load it: scenarios with targets, beside floors that say what the machine and the parts could do at best.
//
// It promises: the platform under test is the program itself in a process of its own, so that its processor time, memory and bytes written are its own; every run
// ends with the ledger, and a run that lost anything fails; platform and floor take turns, on the same load; a latency counts from when a message was due.
//
// It refuses to call a figure good that was not measured: what the system does not tell is left out.
package bench

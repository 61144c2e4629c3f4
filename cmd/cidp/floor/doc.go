// Package floor holds what the platform is compared with: the plainest and fastest use of the same parts on the same load. Nothing of it is in the platform.
//
// It promises that a floor does less than the platform and nothing more slowly than it must: a broker that counts and drops, an insert without anything around it,
// the decoder alone, the forest alone. And it holds the other side of a warehouse: people who ask it (Ask), with nothing but what is promised to them. It may know MQTT servers and SQL because what it measures is theirs.
package floor

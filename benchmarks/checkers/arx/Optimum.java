import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.Supplier;
import org.deidentifier.arx.ARXAnonymizer;
import org.deidentifier.arx.ARXConfiguration;
import org.deidentifier.arx.ARXLattice.ARXNode;
import org.deidentifier.arx.ARXResult;
import org.deidentifier.arx.AttributeType;
import org.deidentifier.arx.AttributeType.Hierarchy;
import org.deidentifier.arx.Data;
import org.deidentifier.arx.DataHandle;
import org.deidentifier.arx.DataHandleOutput;
import org.deidentifier.arx.DataSubset;
import org.deidentifier.arx.criteria.DPresence;
import org.deidentifier.arx.criteria.DistinctLDiversity;
import org.deidentifier.arx.criteria.EntropyLDiversity;
import org.deidentifier.arx.criteria.EqualDistanceTCloseness;
import org.deidentifier.arx.criteria.KAnonymity;
import org.deidentifier.arx.criteria.OrderedDistanceTCloseness;
import org.deidentifier.arx.criteria.PrivacyCriterion;
import org.deidentifier.arx.criteria.RecursiveCLDiversity;
import org.deidentifier.arx.metric.Metric;
import org.deidentifier.arx.metric.Metric.AggregateFunction;

/**
 * ARX's optimum for some settings on a table, as JSON: `java Optimum FOLDER ROUNDS`.
 *
 * FOLDER has adult.csv and adult_hierarchy_*.csv, ARX's own or what `python -m benchmarks.checkers.arx_tables` wrote.
 * Seconds are of the fastest round, reading aside. Needs a checkout of arx-deidentifier/arx, with JARS the libraries in
 * its lib/ant (pdfbox and hadoop-core from their project's own artefacts where they are missing) and DRIVER a new folder:
 *   javac -nowarn -encoding UTF-8 -cp "JARS/*" -d DRIVER $(find ARX/src/main -name '*.java') Optimum.java
 *   python -m benchmarks.checkers.arx_optimum FOLDER --arx "DRIVER:JARS/*"
 */
public class Optimum {

    private static final String SENSITIVE = "occupation";
    private static String folder;
    private static int rounds;

    public static void main(String[] given) throws Exception {
        folder = given[0];
        rounds = Integer.parseInt(given[1]);
        List<String> told = new ArrayList<>();
        for (double limit : new double[] {0d, 0.02d, 0.04d, 1d}) {
            told.add(run("{\"k\": 5}", "loss", limit, null, null, () -> new KAnonymity(5)));
        }
        told.add(run("{\"k\": 100}", "loss", 0.04d, null, null, () -> new KAnonymity(100)));
        for (String metric : new String[] {"discernibility", "class_size"}) {
            told.add(run("{\"k\": 5}", metric, 0d, null, null, () -> new KAnonymity(5)));
            told.add(run("{\"k\": 5}", metric, 0.04d, null, null, () -> new KAnonymity(5)));
        }
        for (double limit : new double[] {0d, 0.04d}) {
            told.add(run("{\"k\": 5, \"l\": 5, \"kind\": \"distinct\"}", "loss", limit, SENSITIVE, null,
                         () -> new KAnonymity(5), () -> new DistinctLDiversity(SENSITIVE, 5)));
            told.add(run("{\"l\": 5, \"kind\": \"entropy\"}", "loss", limit, SENSITIVE, null,
                         () -> new EntropyLDiversity(SENSITIVE, 5)));
            told.add(run("{\"l\": 5, \"kind\": \"recursive\", \"c\": 4}", "loss", limit, SENSITIVE, null,
                         () -> new RecursiveCLDiversity(SENSITIVE, 4d, 5)));
            told.add(run("{\"k\": 5, \"t\": 0.2, \"distance\": \"equal\"}", "loss", limit, SENSITIVE, null,
                         () -> new KAnonymity(5), () -> new EqualDistanceTCloseness(SENSITIVE, 0.2d)));
            told.add(run("{\"k\": 5, \"t\": 0.1, \"distance\": \"ordered\"}", "loss", limit, SENSITIVE, null,
                         () -> new KAnonymity(5), () -> new OrderedDistanceTCloseness(SENSITIVE, 0.1d)));
        }
        for (double limit : new double[] {0d, 0.04d}) {
            told.add(present(0d, limit));
            told.add(present(0.05d, limit));
        }
        System.out.println("[\n  " + String.join(",\n  ", told) + "\n]");
    }

    private static Data read() throws Exception {
        Data data = Data.create(Path.of(folder, "adult.csv").toString(), StandardCharsets.UTF_8, ';');
        DataHandle handle = data.getHandle();
        for (int i = 0; i < handle.getNumColumns(); i++) {
            String name = handle.getAttributeName(i);
            String file = Path.of(folder, "adult_hierarchy_" + name + ".csv").toString();
            data.getDefinition().setAttributeType(name, Hierarchy.create(file, StandardCharsets.UTF_8, ';'));
        }
        return data;
    }

    /** Every 7th row is what is released; all rows are the population. No k, since ARX then checks it alone first. */
    private static String present(double lowest, double limit) throws Exception {
        Data data = read();
        Set<Integer> seventh = new HashSet<>();
        for (int row = 0; row < data.getHandle().getNumRows(); row += 7) {
            seventh.add(row);
        }
        DataSubset subset = DataSubset.create(data, seventh);
        String text = String.format(Locale.ROOT, "{\"presence\": [%s, 0.3], \"every\": 7}", lowest);
        return run(text, "loss", limit, null, seventh, () -> new DPresence(lowest, 0.3d, subset));
    }

    @SafeVarargs
    private static String run(String text, String metric, double limit, String sensitive, Set<Integer> rows,
                              Supplier<PrivacyCriterion>... criteria) throws Exception {
        double best = Double.MAX_VALUE;
        String told = null;
        for (int round = 0; round < rounds; round++) {
            Data data = read();
            if (sensitive != null) {
                data.getDefinition().setAttributeType(sensitive, AttributeType.SENSITIVE_ATTRIBUTE);
            }
            ARXConfiguration config = ARXConfiguration.create(limit, metric(metric));
            for (Supplier<PrivacyCriterion> one : criteria) {
                config.addPrivacyModel(one.get());
            }
            long began = System.nanoTime();
            ARXResult result = new ARXAnonymizer().anonymize(data, config);
            best = Math.min(best, (System.nanoTime() - began) / 1e9);
            told = document(text, metric, limit, sensitive, rows, result);
        }
        System.err.printf(Locale.ROOT, "%s %s %s: %.3f s%n", text, metric, limit, best);
        return told.replace("SECONDS", String.format(Locale.ROOT, "%.3f", best));
    }

    private static Metric<?> metric(String name) {
        switch (name) {
            case "discernibility": return Metric.createDiscernabilityMetric(false);
            case "class_size": return Metric.createAECSMetric();
            default: return Metric.createLossMetric(AggregateFunction.ARITHMETIC_MEAN);
        }
    }

    private static String document(String text, String metric, double limit, String sensitive, Set<Integer> rows,
                                   ARXResult result) {
        StringBuilder levels = new StringBuilder();
        String loss = "null", suppressed = "null";
        if (result.isResultAvailable()) {
            ARXNode node = result.getGlobalOptimum();
            for (String name : node.getQuasiIdentifyingAttributes()) {
                levels.append(levels.length() > 0 ? ", " : "");
                levels.append('"').append(name).append("\": ").append(node.getGeneralization(name));
            }
            loss = node.getLowestScore().toString();
            DataHandleOutput output = (DataHandleOutput) result.getOutput(false);
            int count = 0;
            for (int row = 0; row < output.getNumRows(); row++) {
                count += (rows == null || rows.contains(row)) && output.isOutlier(row) ? 1 : 0;
            }
            suppressed = "" + count;
        }
        return String.format(Locale.ROOT, "{\"guarantees\": %s, \"metric\": \"%s\", \"limit\": %s, \"sensitive\": %s, "
            + "\"levels\": {%s}, \"loss\": %s, \"suppressed\": %s, \"seconds\": SECONDS}", text, metric, limit,
            sensitive == null ? "null" : '"' + sensitive + '"', levels, loss, suppressed);
    }
}
